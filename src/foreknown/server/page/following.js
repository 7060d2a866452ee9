/** Keep the end of a growing region in sight, unless the reader has scrolled away from it. */

const NEAR_PX = 48;

/** Returns a function that goes to the end and follows it again. */
export function followEnd(region) {
  let following = true;
  const toEnd = () => {
    region.scrollTop = region.scrollHeight;
  };
  region.addEventListener(
    "scroll",
    () => {
      const below = region.scrollHeight - region.clientHeight - region.scrollTop;
      following = below < NEAR_PX;
    },
    { passive: true },
  );
  region.addEventListener("grown", () => following && toEnd());
  return () => {
    following = true;
    toEnd();
  };
}
