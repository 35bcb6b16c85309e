import { describe, expect, it } from 'vitest'
import { installed, startCore } from '../../test/peers.ts'
import { createPubsubModule } from '../modules/pubsub/module.ts'
import { SYSTEM_REALM } from './context.ts'
import { Directory } from './directory.ts'

const trigger = (type: string, config: unknown) => ({ type, function_id: 'w::f', config })
const failures = (peer: { received: { type: string }[] }) =>
  peer.received.filter(({ type }) => type === 'triggerregistrationresult')

function start(...triggers: ReturnType<typeof trigger>[]) {
  const workers = [installed('w', [{ id: 'w::f' }], { triggers }), installed('other', [{ id: 'other::f' }])]
  return startCore({ workers, modules: [createPubsubModule()] })
}

describe('what a manifest binds and what does not stand', () => {
  it('is told to each process of the worker when it connects, and to nobody else', () => {
    const { worker } = start(trigger('subscribe', { topik: 'a' }))
    const [one, two, other] = [worker('w'), worker('w'), worker('other')]
    for (const peer of [one, two]) {
      expect(failures(peer)).toEqual([
        {
          type: 'triggerregistrationresult',
          id: 'w/subscribe/0',
          trigger_type: 'subscribe',
          function_id: 'w::f',
          error: { code: 'trigger_registration_failed', message: 'subscribe has no topik; there is topic' },
        },
      ])
    }
    expect(failures(other)).toEqual([])
  })

  it('is shown with the worker, whether or not it runs', () => {
    const { core, worker } = start(trigger('subscribe', {}), trigger('cron', { expression: '@daily' }))
    const shown = () => new Directory(core).workers(SYSTEM_REALM).find(({ name }) => name === 'w')!.problems
    const problems = [
      expect.stringMatching(/^the subscribe trigger of w::f does not stand: .*topic/),
      'the cron trigger of w::f does not stand: nothing provides the trigger type cron: config.yaml does not list iii-cron',
    ]
    expect(shown()).toEqual(problems)
    worker('w').tell({ type: 'invokefunction', function_id: 'engine::workers::register', data: { name: 'w', pid: 7 } })
    expect(shown()).toEqual(problems)
  })
})

describe('what a client without a manifest binds', () => {
  it.each([
    ['a type that nobody provides yet', 'nonsense', {}, 'nothing provides the trigger type nonsense'],
    ['a key that nobody reads', 'subscribe', { topic: 'a', topik: 'b' }, 'subscribe has no topik'],
  ])('stands with %s, and the log says so', (_what, trigger_type, config, said) => {
    const { guest, warnings } = start()
    const peer = guest()
    peer.register('mine::f')
    peer.tell({ type: 'registertrigger', id: 't1', trigger_type, function_id: 'mine::f', config })
    expect(failures(peer)).toEqual([])
    expect(warnings).toEqual([expect.stringContaining(said)])
  })
})

describe('what an installed worker’s own code binds', () => {
  const bind = (type: string, config: unknown) => ({
    type: 'registertrigger',
    id: 't1',
    trigger_type: type,
    function_id: 'w::f',
    config,
  })

  it('is refused for a misspelt key, as in a manifest, and shown until its process is gone', () => {
    const { core, worker } = start()
    const peer = worker('w')
    peer.tell(bind('subscribe', { topic: 'a', topik: 'b' }))
    expect(failures(peer)).toMatchObject([{ id: 't1', error: { message: expect.stringContaining('topik') } }])
    expect(core.declared.problemsOf('w')).toHaveLength(1)
    peer.close()
    expect(core.declared.problemsOf('w')).toEqual([])
  })

  it('of a type that nobody provides is shown as waiting and told as no mistake, until somebody provides it', () => {
    const { core, worker } = start()
    const peer = worker('w')
    peer.tell(bind('orders', { shop: 1 }))
    expect(failures(peer)).toEqual([])
    expect(core.declared.problemsOf('w')).toMatchObject([{ message: expect.stringContaining('type orders') }])
    const provider = worker('shop')
    provider.tell({ type: 'registertriggertype', id: 'orders', description: '' })
    expect(core.declared.problemsOf('w')).toEqual([])
    provider.tell({ type: 'triggerregistrationresult', id: 't1', error: { code: 'x', message: 'no such shop' } })
    expect(failures(peer)).toMatchObject([{ id: 't1', error: { message: 'no such shop' } }])
    provider.close()
    expect(core.declared.problemsOf('w')).toMatchObject([{ message: expect.stringContaining('type orders') }])
  })
})
