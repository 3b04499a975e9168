curl -X POST http://localhost:9240/api/workflows \
  -H "Content-Type: application/json" \
  -d '{
    "name": "data-pipeline",
    "working_dir": "/tmp/data-pipeline",
    "workers": [
      {
        "name": "fetch_data",
        "workflow_name": "data-pipeline",
        "command": "python3 -c \"import json; print(json.dumps({\\\"data\\\": [1,2,3,4,5]}))\"",
        "working_dir": "/tmp/data-pipeline",
        "outputs": {
          "raw_data": "/tmp/data-pipeline/raw.json"
        }
      },
      {
        "name": "process_data",
        "workflow_name": "data-pipeline",
        "command": "python3 -c \"import json; data=json.load(open(\\\"/tmp/data-pipeline/raw.json\\\")); result=sum(data[\\\"data\\\"]); print(f\\\"Sum: {result}\\\")\"",
        "working_dir": "/tmp/data-pipeline",
        "inputs": {
          "input_file": "fetch_data/raw_data"
        },
        "outputs": {
          "result": "/tmp/data-pipeline/result.txt"
        }
      }
    ]
  }'
