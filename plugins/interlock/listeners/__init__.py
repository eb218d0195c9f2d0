"""What Airflow's own processes tell Interlock of."""
