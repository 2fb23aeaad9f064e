"""From YAML to specs: strict tables, typed results, every refusal by file, line and field."""
