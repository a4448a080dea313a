"""What panels and dashboards are made of; grafanalib stays behind this folder."""
