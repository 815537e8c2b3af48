"""`aigw doctor` in a cluster: `reading` fetches what there is, `state` holds it, pure modules judge it."""
