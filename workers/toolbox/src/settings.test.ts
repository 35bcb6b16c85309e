import { homedir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { Settings, workspaceOf } from './settings.ts'

it.each([
  [undefined, '/place/workspace'],
  ['notes', '/place/notes'],
  ['/notes', '/notes'],
  ['~/notes', join(homedir(), 'notes')],
])('workspace: %s is %s', (workspace, folder) => {
  expect(workspaceOf(Settings.parse(workspace === undefined ? {} : { workspace }), '/place')).toBe(folder)
})
