# Airflow with Interlock, for Astro. The base image has no build triggers: those would install all of
# requirements.txt, with the sandbox and the tests, and packages.txt. What gets in is listed in .dockerignore.
FROM astrocrpublic.azurecr.io/runtime:3.3-8-base

# The providers and the package's own requirements, in the locked versions. Airflow itself is the image's.
USER root
COPY requirements.in requirements.txt /tmp/interlock/
RUN sed '/^# The sandbox/,$d' /tmp/interlock/requirements.in | grep -v '^apache-airflow==' > /tmp/interlock/needed.in \
    && grep -vE '^apache-airflow(-core|-task-sdk)?==' /tmp/interlock/requirements.txt > /tmp/interlock/lock.txt \
    && python -m pip install --no-cache-dir -r /tmp/interlock/needed.in -c /tmp/interlock/lock.txt \
    && rm -r /tmp/interlock

USER astro
COPY --chown=astro:0 include include
COPY --chown=astro:0 plugins plugins
COPY --chown=astro:0 dags dags
