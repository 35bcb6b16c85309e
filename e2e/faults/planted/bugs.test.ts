import { expect, it } from 'vitest'
import { KILL_POINTS } from '../harness/kill-points.ts'
import { PLANTED_BUGS } from './bugs.ts'
import { plant } from './plant.ts'

it.each([...PLANTED_BUGS, ...KILL_POINTS].map((patch) => [patch.name, patch] as const))(
  'the place of "%s" is found in the source',
  (_name, patch) => {
    expect(plant([patch]).name).toBe('plant')
  },
)
