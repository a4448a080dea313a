"""Files with queries in them: dashboards, rule files, pages."""
