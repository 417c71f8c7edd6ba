/** The manual of the LDAP backend says every option, and its recipes are valid. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { ldapComplaints } from '../../../server-core/auth/ldap/options.ts'
import { ldapFields } from '../../../server-core/auth/ldap.ts'
import { root } from '../../harness/paths.ts'
import { parseOptions } from './backend.ts'

const manual = readFileSync(`${root}/docs/ldap.md`, 'utf8')
const recipes = [...manual.matchAll(/```yaml\n(.*?)```/gs)].map(([, text = '']) => text)

describe('docs/ldap.md', () => {
  it('has a row for every option, and none for another one', () => {
    const rows = [...manual.matchAll(/^\| `(ldap_\w+)` \|/gm)].map(([, name]) => name)
    expect(rows.toSorted()).toEqual(Object.keys(ldapFields).toSorted())
  })

  it.each(recipes.map((text, index) => [index + 1, text] as const))('has a valid recipe %i', (_, text) => {
    const { backends } = parse(text) as { backends: Record<string, Record<string, unknown>> }
    for (const { type, ...options } of Object.values(backends)) {
      expect(type).toBe('ldap')
      expect(ldapComplaints(parseOptions(options))).toEqual([])
    }
  })
})
