"""The command line: what is printed, how commands are declared, and what each kind of job does.

May import every package.
"""
