"""The commands that look without serving: validate, translate, explain, doctor (docs/commands.md).

Each module here is one command's pure core: values in, a frozen result out. `screens` draws results for people,
`output` writes them for machines, `entry` is what the command line calls.
"""
