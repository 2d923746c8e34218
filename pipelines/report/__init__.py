"""The report page, from its queries and metrics to its charts, layout and script."""
