"""The webhooks of a project in its log: who they are, and which workstation tells them."""
