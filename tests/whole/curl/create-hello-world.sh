curl -X POST http://localhost:9240/api/workflows \
  -H "Content-Type: application/json" \
  -d '{
    "name": "hello-world",
    "working_dir": "/tmp/hello-world",
    "workers": [
      {
        "name": "greet",
        "workflow_name": "hello-world",
        "command": "echo Hello, Wattle Scheduler!",
        "args": [],
        "working_dir": "/tmp/hello-world",
        "env_vars": {},
        "inputs": null,
        "outputs": {
          "greeting": "/tmp/hello-world/greeting.txt"
        }
      }
    ]
  }'
