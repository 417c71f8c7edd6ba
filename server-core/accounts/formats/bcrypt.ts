/**
 * bcrypt, as `$2a$ $2b$ $2y$`. It sees 72 bytes only, so longer passwords go in by way of a keyed hash that is named in the
 * value: passlib's `$bcrypt-sha256$v=2,t=2b,r=12$SALT$HASH` (key = base64 of HMAC-SHA256 with the salt's text as its key).
 */
import { createHmac } from 'node:crypto'
import { derive } from '../derivations.ts'
import { type PasswordFormat, UnusableCredential } from './format.ts'

const cost = 12
/** 2^16 rounds take some four seconds; a value that demands more is an attack or a mistake. */
const maxCost = 16
const longest = 72

const bare = /^\$2([abxy])\$(\d\d)\$([./A-Za-z0-9]{22})([./A-Za-z0-9]{31})$/
const keyed = /^\$bcrypt-sha256\$v=2,t=2b,r=(\d{1,2})\$([./A-Za-z0-9]{22})\$([./A-Za-z0-9]{31})$/

export const bcrypt: PasswordFormat = {
  name: 'bcrypt',
  prefixes: ['$2a$', '$2b$', '$2x$', '$2y$', '$bcrypt-sha256$'],
  of: 'bytes',
  async verify(value, password, signal) {
    const { rounds, salt, hash, isKeyed } = parse(value)
    const key = isKeyed ? keyOf(password, salt) : password
    const { compare } = await library()
    return derive(signal, () => compare(key, `$2b$${String(rounds).padStart(2, '0')}$${salt}${hash}`))
  },
  async make(password, signal) {
    const { genSalt, hash } = await library()
    const settings = await genSalt(cost)
    if (password.length < longest) return derive(signal, () => hash(password, settings))
    const salt = settings.slice(-22)
    const made = await derive(signal, () => hash(keyOf(password, salt), settings))
    return `$bcrypt-sha256$v=2,t=2b,r=${cost}$${salt}$${made.slice(-31)}`
  },
  isCurrent(value) {
    return parse(value).rounds >= cost
  },
}

interface Parsed {
  readonly rounds: number
  readonly salt: string
  readonly hash: string
  readonly isKeyed: boolean
}

function parse(value: string): Parsed {
  const [, minor, bareCost, bareSalt, bareHash] = bare.exec(value) ?? []
  const [, keyedCost, keyedSalt, keyedHash] = keyed.exec(value) ?? []
  if (minor === 'x')
    throw new UnusableCredential('$2x$ values were made by a faulty program and are not accepted')
  const rounds = Number(bareCost ?? keyedCost)
  const salt = bareSalt ?? keyedSalt
  const hash = bareHash ?? keyedHash
  if (salt === undefined || hash === undefined || rounds < 4)
    throw new UnusableCredential('not a bcrypt value')
  if (rounds > maxCost)
    throw new UnusableCredential(`a bcrypt cost of ${rounds}, above ${maxCost}, is not accepted`)
  return { rounds, salt, hash, isKeyed: minor === undefined }
}

function keyOf(password: Buffer, salt: string): Buffer {
  return Buffer.from(createHmac('sha256', salt).update(password).digest('base64'))
}

async function library(): Promise<typeof import('bcrypt')> {
  return (await import('bcrypt')).default
}
