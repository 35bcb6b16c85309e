import { expect, it } from 'vitest'
import { type FunctionView, groupsOf, type WorkerStatus, type WorkerView } from './directory.ts'

const fn = (id: string, worker: string, summary = '', up = true) => ({ id, worker, summary, up }) as FunctionView
const worker = (name: string, status: WorkerStatus) => ({ name, status, description: `The ${name}` }) as WorkerView

const directory = {
  functions: [
    fn('engine::functions::list', 'engine', 'List'),
    fn('memory::search', 'memory', 'Best matching memories'),
    fn('memory::store', 'memory', 'Remember a text'),
    fn('realm::get', 'realm', 'Fetch a realm', false),
    fn('toolbox::add', 'toolbox', 'Adds', false),
    fn('weather::now', 'abc-123', 'Of a client that is not installed'),
  ],
  workers: [worker('memory', 'up'), worker('memory', 'up'), worker('realm', 'down'), worker('toolbox', 'asleep')],
}

it('groups functions by worker, counts processes, and puts the engine last', () => {
  const groups = groupsOf(directory, '')
  expect(
    groups.map(({ name, status, processes, functions }) => [name, status, processes.length, functions.length]),
  ).toEqual([
    ['abc-123', 'up', 0, 1],
    ['memory', 'up', 2, 2],
    ['realm', 'down', 0, 1],
    ['toolbox', 'asleep', 0, 1],
    ['engine', 'up', 0, 1],
  ])
})

it('finds by words of id, summary and worker, all of which have to be there', () => {
  const found = (search: string) => groupsOf(directory, search).flatMap((group) => group.functions.map(({ id }) => id))
  expect(found('remember')).toEqual(['memory::store'])
  expect(found('MEMORY text')).toEqual(['memory::store'])
  expect(found('the realm')).toEqual(['realm::get'])
  expect(found('nothing of that kind')).toEqual([])
})
