import { describe, expect, it } from 'vitest'
import { installed, startCore } from '../../../test/peers.ts'
import { coreView } from './core-view.ts'

describe('what has to be there always', () => {
  it('is there by its credential, not by what a client calls itself', () => {
    const { core, worker, guest } = startCore({ workers: [installed('w', [{ id: 'w::f' }])] })
    const tell = { type: 'invokefunction', function_id: 'engine::workers::register', data: { name: 'w', pid: 1 } }
    guest().tell(tell)
    expect(coreView(core).readiness()).toEqual({ expected: ['w'], up: [] })
    worker('w').tell(tell)
    expect(coreView(core).readiness()).toEqual({ expected: ['w'], up: ['w'] })
  })
})
