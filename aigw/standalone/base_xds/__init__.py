"""Base xDS for standalone: what Envoy Gateway would write for the same resources, in its shape and with its names.

    build(world, files) → Resources, which `extension_server.xds.patches` then patches as they patch Envoy Gateway's

Pure: certificates and CAs that Envoy reads from files are returned as names in `files`, whoever runs Envoy writes them.
Differences from Envoy Gateway, on purpose: IP backends are inline endpoints (it would need EDS), and a rule that mixes
IPs and host names stays one cluster, so that its priorities still mean failover.
"""
