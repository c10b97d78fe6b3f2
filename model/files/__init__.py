"""Files that somebody else may have made, read within bounds: JSON, arrays, zip members.

Imports no other folder of model/.
"""
