import { describe, expect, it } from 'vitest'
import * as z from 'zod'
import { defineFunction } from '../../packages/sdk/src/contract.ts'
import { parseManifest } from '../manifest.ts'
import { describeWorker } from './descriptor.ts'

const get = defineFunction({
  id: 'weather::get',
  summary: 'The weather of a town',
  input: () => z.object({ town: z.string(), days: z.number().default(1) }),
  output: () => z.object({ celsius: z.number() }),
  http: 'GET /v1/weather/:town',
  effects: 'read',
})

const manifest = (functions: string) =>
  parseManifest(
    `name: weather\nversion: 0.1.0\ndescription: Weather\nruntime: { kind: typescript }\nfunctions: ${functions}`,
    'iii.worker.yaml',
  )

describe('a descriptor', () => {
  it('joins the manifest with what the contracts say, schemas included', async () => {
    const descriptor = await describeWorker(manifest('[weather::get]'), [get])
    expect(descriptor).toMatchObject({ name: 'weather', memoryMb: 256, entersRealms: false })
    expect(descriptor.functions).toHaveLength(1)
    expect(descriptor.functions[0]).toMatchObject({
      id: 'weather::get',
      effects: 'read',
      access: 'guest',
      http: [{ method: 'GET', path: '/v1/weather/:town', status: 200, raw: false, stream: false }],
      request_format: { required: ['town'] },
    })
  })

  it('is refused where the manifest declares a function that no contract describes', async () => {
    await expect(describeWorker(manifest('[weather::get, weather::set]'), [get])).rejects.toThrow('weather::set')
  })

  it('is refused where a contract is missing in the manifest', async () => {
    await expect(describeWorker(manifest('[]'), [get])).rejects.toThrow('weather::get')
  })

  it('is refused where two contracts share an id', async () => {
    await expect(describeWorker(manifest('[weather::get]'), [get, { ...get }])).rejects.toThrow('two contracts')
  })
})
