/**
 * What the programs of the libraries share: the channel to the measurement, and the tools.
 *
 * A program is started as `<program>.mjs <data folder> <address of the world>`, says `ready`, then gets tasks by name
 * and says how each ended. It ends with its parent.
 */
export const [, , folder, world] = process.argv

/** @param {(task: string) => Promise<{ how: string }>} run resumes the task where there is something of it, else begins it */
export function serveTasks(run) {
  process.on('disconnect', () => process.exit(0))
  process.on('message', ({ task }) => {
    run(task).then(
      (ending) => process.send({ task, ending }),
      (error) => process.send({ task, ending: { how: 'failed', error: String(error?.stack ?? error) } }),
    )
  })
  process.send('ready')
}

/** Calls the service behind a tool, with the idempotency key that the framework has to offer. */
export async function callTool(tool, args, key) {
  const response = await fetch(`${world}/tools/${tool}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(key ? { 'idempotency-key': key } : {}) },
    body: JSON.stringify(args),
  })
  if (!response.ok) throw new Error(`${tool} answered ${response.status}: ${await response.text()}`)
  return response.text()
}
