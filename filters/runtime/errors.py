"""What is wrong with a configuration that cannot be built."""


class ConfigError(ValueError):
    """One sentence that names the rule, backend or listener and the field; never a credential."""
