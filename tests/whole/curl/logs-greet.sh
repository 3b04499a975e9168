curl http://localhost:9240/api/workers/hello-world/greet/logs
