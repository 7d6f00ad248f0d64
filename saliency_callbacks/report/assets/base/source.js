// Where the data comes from: the file itself contains all of it, or a server is asked. Views do not know which.
//
// A source has `begin()`, which calls `adopt` with all data except maps, once or again and again; `map(wish)`, which
// promises one picture, or the words, of all samples; `slice(wish)`, which promises pictures and masks of one slice of
// volumes, where they are not at hand; and `picture(item)`, the address of a drawn picture, if there is one.
// What is eager is at hand, so tiles need not be looked at first.

const embedded = {
  isEager: true,
  begin: () => adopt(JSON.parse(document.getElementById("payload").textContent)),
  map: async ({ moment, method }) => moment.maps[method],
  picture: ({ data, picture }) => (data ?? picture ? `data:image/webp;base64,${data ?? picture}` : null),
};

const isLive = document.body.dataset.source === "live";

function source() {
  return isLive ? live : embedded;
}
