"""What flows between the parts: frozen dataclasses, one module a subject. They import nothing but each other.

An event contract names its CloudEvents type (TYPE) and the kind of NATS subject its events go to (KIND). Contracts
grow by optional fields only; anything else is a new type with the next version.
"""
