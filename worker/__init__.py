"""The side that works: takes jobs by lease, trains, saves, reports."""
