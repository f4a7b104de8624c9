"""Between replica and journal: our changes out, everybody's changes in, in order."""
