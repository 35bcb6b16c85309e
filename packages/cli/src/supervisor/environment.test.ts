import { describe, expect, it } from 'vitest'
import type { Paths } from '../paths.ts'
import { engineEnvironment, workerEnvironment } from './environment.ts'

const paths: Paths = {
  home: '/h',
  root: '/r',
  config: '/r/config.yaml',
  data: '/r/data',
  dist: '/h/dist',
  workers: '/h/workers',
}
const host = {
  PATH: '/bin',
  HOME: '/home/me',
  OPENAI_API_KEY: 'sk-1',
  AWS_SECRET_ACCESS_KEY: 'other',
  REGION: 'eu',
  EMPTY: '',
}

describe('environment of a worker', () => {
  const own = { paths, engineUrl: 'ws://127.0.0.1:49134', credential: 'c' }

  it('holds what the manifest declares and nothing else of the host', () => {
    const env = workerEnvironment(
      { env: { REGION: 'us', SIZE: '5', ONLY_WHERE_SET: '' }, secrets: ['OPENAI_API_KEY'] },
      host,
      own,
    )
    expect(env).toEqual({
      PATH: '/bin',
      HOME: '/home/me',
      REGION: 'eu',
      SIZE: '5',
      OPENAI_API_KEY: 'sk-1',
      AGENTOS_ROOT: '/r',
      AGENTOS_CONFIG: '/r/config.yaml',
      AGENTOS_DATA: '/r/data',
      III_URL: 'ws://127.0.0.1:49134',
      AGENTOS_CREDENTIAL: 'c',
    })
  })

  it('does not pass a secret that another worker declares', () => {
    expect(workerEnvironment({ env: {}, secrets: [] }, host, own)).not.toHaveProperty('OPENAI_API_KEY')
  })
})

describe('environment of the engine', () => {
  it('holds the variables of config.yaml, and none of the secrets of workers', () => {
    expect(engineEnvironment(['REGION', 'UNSET'], host, { paths })).toEqual({
      PATH: '/bin',
      HOME: '/home/me',
      REGION: 'eu',
      AGENTOS_ROOT: '/r',
      AGENTOS_CONFIG: '/r/config.yaml',
      AGENTOS_DATA: '/r/data',
    })
  })
})
