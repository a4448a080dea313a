#!/bin/sh
# What the builder runs: everything that Prometheus and Grafana read, into the folder given.
set -eu
python -m prometheus build --out "$1" --proxy-target proxy:8787 --exporter-target exporter:8789
python -m dashboards build --out "$1"
python -m provisioning build --out "$1" --prometheus-url http://prometheus:9090 --prometheus-version 3.5.0
