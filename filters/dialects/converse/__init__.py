"""Amazon Bedrock's Converse and ConverseStream: request body, whole answer, event stream, errors."""
