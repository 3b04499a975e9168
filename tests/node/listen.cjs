// Hears a stream with npm's `eventsource` and prints each event as a line of JSON, {"name", "data", "id"}; at the end
// {"closed": the status that made it stop}. Usage: node listen.cjs URL NAME…, the names of events to listen for.
const { EventSource } = require('eventsource')

// A user waits 3 s before each return; a test does not.
const later = globalThis.setTimeout
globalThis.setTimeout = (what, milliseconds, ...rest) => later(what, milliseconds === 3000 ? 30 : milliseconds, ...rest)

const [url, ...names] = process.argv.slice(2)
const source = new EventSource(url)
const tell = (heard) => process.stdout.write(JSON.stringify(heard) + '\n')
for (const name of names) {
  source.addEventListener(name, (event) => tell({ name, data: JSON.parse(event.data), id: event.lastEventId }))
}
source.addEventListener('error', (event) => {
  if (event.data !== undefined) tell({ name: 'error', data: JSON.parse(event.data), id: event.lastEventId })
  else if (source.readyState === EventSource.CLOSED) tell({ closed: event.code })
})
