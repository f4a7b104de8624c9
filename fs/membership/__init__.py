"""Member keys, invitations and the roster as members write it."""
