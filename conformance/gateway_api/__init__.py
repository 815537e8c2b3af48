"""The Gateway API's own conformance suite against Envoy Gateway with the AI gateway installed, in the lab.

    python -m conformance.gateway_api [--envoy-gateway 1.9] [--alone]      (make conformance-gateway-api)

`suite` knows the suite: its files, images, flags. `attachment` puts AI routes on the Gateways that it tests. `results`
compares its report with what Envoy Gateway passes without us.
"""
