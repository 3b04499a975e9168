curl http://localhost:9240/api/workflows/hello-world
