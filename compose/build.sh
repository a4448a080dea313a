#!/bin/sh
# What the builder runs: build.sh DIR CONFIG writes everything that Prometheus and Grafana read into DIR.
set -eu
python -m prometheus build --config "$2" --out "$1" --proxy-target proxy:8787 --exporter-target exporter:8789 \
  --collector-target collector:8790 --prometheus-version 3.5.0
python -m dashboards build --config "$2" --out "$1"
python -m provisioning build --config "$2" --out "$1" --prometheus-url http://prometheus:9090 --prometheus-version 3.5.0
