# Airflow with Interlock. What gets in is listed in .dockerignore. For Astro, name the Runtime image of this Airflow
# with the suffix -base (the one without it would install all of requirements.txt), and its user, astro.
FROM apache/airflow:3.3.2

# The providers and the package's own requirements, in the locked versions. Airflow itself is the image's.
USER root
COPY requirements.in requirements.txt /tmp/interlock/
RUN sed '/^# The sandbox/,$d' /tmp/interlock/requirements.in | grep -v '^apache-airflow==' > /tmp/interlock/needed.in \
    && grep -vE '^apache-airflow(-core|-task-sdk)?==' /tmp/interlock/requirements.txt > /tmp/interlock/lock.txt \
    && python -m pip install --no-cache-dir -r /tmp/interlock/needed.in -c /tmp/interlock/lock.txt \
    && rm -r /tmp/interlock

USER airflow
COPY --chown=airflow:0 include include
COPY --chown=airflow:0 plugins plugins
COPY --chown=airflow:0 dags dags
