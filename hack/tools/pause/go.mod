module aigw.dev/hack/tools/pause

go 1.26
