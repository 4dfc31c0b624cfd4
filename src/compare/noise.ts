/** Whether a difference occurs as much with the old version. */

// Those of Diffy (https://github.com/opendiffy/diffy, relative and absolute threshold).
const RELATIVE = 0.2;
const ABSOLUTE = 0.0003;
/** Standard deviations. */
const SURE = 2;

/**
 * Whether a difference in `count` of `of` requests is noise, as the target with the old version has it in `noise` of `ofNoise`. As in Diffy
 * it is real only if its share at the target is higher, by more than 20 % of both shares together and by more than 0.03 % of all requests.
 * Where the old version has it at all, the two shares must also be further apart than chance puts them (two standard deviations).
 */
export function isAsMuchNoise(count: number, of: number, noise: number, ofNoise: number): boolean {
  if (ofNoise === 0 || noise === 0 || of === 0) return false;
  const [here, there] = [count / of, noise / ofNoise];
  if (here <= there) return true;
  if ((here - there) / (here + there) <= RELATIVE || here - there <= ABSOLUTE) return true;
  const pooled = (count + noise) / (of + ofNoise);
  const deviation = Math.sqrt(pooled * (1 - pooled) * (1 / of + 1 / ofNoise));
  return here - there < SURE * deviation;
}
