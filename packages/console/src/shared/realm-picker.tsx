import type { Realm } from '@agentos/contracts/realm'
import { get } from './api.ts'
import { useResource } from './resource.ts'
import { GUEST_REALM, useSession } from './session.ts'

/** There whether or not the worker that keeps realms is. */
const BUILT_IN = [
  { id: 'realm-default', name: 'Default' },
  { id: GUEST_REALM, name: 'Guests' },
]

/** Lets the owner look into another realm: the guests', or a tenant's. All that the page shows and does is there then. */
export function RealmPicker() {
  const { realm, look } = useSession()
  const { value } = useResource((signal) => get<Realm[]>('/v1/realms', { signal, realm: null }), [])
  const listed = value ?? BUILT_IN
  // A realm that is gone stays chosen until another one is.
  const realms = listed.some(({ id }) => id === realm) ? listed : [...listed, { id: realm, name: realm }]
  return (
    <label class="realm">
      <span class="dim">Realm</span>
      <select value={realm} onChange={({ currentTarget }) => look(currentTarget.value)}>
        {realms.map(({ id, name }) => (
          <option key={id} value={id}>
            {name}
          </option>
        ))}
      </select>
    </label>
  )
}
