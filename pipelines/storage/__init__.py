"""The engines that hold the warehouse: files and DuckLake, their locks, migrations, publishing and maintenance."""
