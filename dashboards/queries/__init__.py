"""Every PromQL text of the dashboards, and how Grafana is to ask it: one module for each dashboard.

Names come from the rooms that own them; `$model`, `$api`, `$account`, `$top` and `$least` are variables.
"""
