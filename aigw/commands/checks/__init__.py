"""What `aigw doctor` checks: one function per link of the chain, in the table of `aigw.commands.doctor`."""
