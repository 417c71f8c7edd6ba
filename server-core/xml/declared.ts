/** Elements that are kept outside of the stream that they came in. */
import { attr, type Element, withAttributes } from './element.ts'

/** The element with its namespace written on it, if it had it from its parent. */
export function declared(element: Element): Element {
  const colon = element.name.indexOf(':')
  const name = colon < 0 ? 'xmlns' : `xmlns:${element.name.slice(0, colon)}`
  return attr(element, name) === element.ns ? element : withAttributes(element, { [name]: element.ns })
}
