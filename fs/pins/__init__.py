"""What this workstation keeps in its cache, whatever else comes."""
