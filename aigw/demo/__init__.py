"""The built-in providers of `aigw run` without keys: real HTTP servers on loopback that answer in three dialects.

They are for seeing the gateway at work, not models: the answer is a sentence about the question.
"""
