"""What people are told, and how it reaches them: through Airflow's own notifiers."""
