curl -X POST http://localhost:9240/api/workflows/hello-world/start
