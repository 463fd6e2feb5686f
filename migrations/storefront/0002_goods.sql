-- What is on the shelves on the first day.

INSERT INTO products (sku, name, description, price, stock, shape, hue, pattern, weight_kg) VALUES
('MUG-01', 'Boatman''s mug', 'Stoneware, half a pint, a handle for a gloved hand.', 12.50, 120, 'mug', 205, 'band', 0.380),
('MUG-02', 'Morning mug', 'Glazed by hand; no two are quite the same.', 14.00, 80, 'mug', 24, 'plain', 0.360),
('MUG-03', 'Dotted mug', 'Cheers up the longest flight of locks.', 13.25, 95, 'mug', 340, 'dots', 0.365),
('KET-01', 'Range kettle', 'Whistles when it boils, and not before.', 39.00, 40, 'kettle', 8, 'plain', 1.240),
('KET-02', 'Galley kettle', 'A wide foot, for water that moves.', 44.50, 35, 'kettle', 168, 'band', 1.310),
('KET-03', 'Painted kettle', 'Roses would have been too much. Dots are not.', 52.00, 18, 'kettle', 222, 'dots', 1.280),
('LAN-01', 'Lock lantern', 'Burns eleven hours on one filling.', 34.00, 60, 'lantern', 42, 'plain', 0.920),
('LAN-02', 'Stern lantern', 'Seen from the next bend.', 36.50, 44, 'lantern', 350, 'band', 0.960),
('LAN-03', 'Cabin lantern', 'A small light for a small room.', 22.00, 72, 'lantern', 150, 'plain', 0.540),
('BEL-01', 'Gate bell', 'Cast in bronze; answers to a single pull.', 89.00, 12, 'bell', 40, 'plain', 2.700),
('BEL-02', 'Ferry bell', 'For calling the other bank.', 96.00, 9, 'bell', 28, 'band', 2.950),
('BEL-03', 'Last bell', 'There is only one. Two people want it.', 140.00, 1, 'bell', 268, 'plain', 3.100),
('ROP-01', 'Mooring rope', 'Ten metres, three strands, spliced eye.', 18.00, 150, 'rope', 36, 'plain', 1.600),
('ROP-02', 'Heaving line', 'Light enough to throw, long enough to reach.', 11.00, 110, 'rope', 190, 'band', 0.700),
('ROP-03', 'Bell rope', 'Short, soft, and easily admired.', 9.50, 64, 'rope', 352, 'band', 0.300),
('LOG-01', 'Logbook', 'Two hundred pages. What is written stays written.', 16.00, 200, 'logbook', 215, 'band', 0.420),
('LOG-02', 'Toll ledger', 'Ruled in columns; opens flat.', 21.00, 90, 'logbook', 140, 'plain', 0.610),
('LOG-03', 'Pocket log', 'Fits where the tickets go.', 7.50, 240, 'logbook', 12, 'dots', 0.140),
('GAU-01', 'Pressure gauge', 'Brass, to ten bar, and honest about it.', 58.00, 30, 'gauge', 44, 'plain', 0.850),
('GAU-02', 'Depth gauge', 'Tells how much is under you.', 63.00, 26, 'gauge', 200, 'band', 0.900),
('GAU-03', 'Weather glass', 'Right more often than the forecast.', 74.00, 15, 'gauge', 320, 'plain', 1.050),
('BUO-01', 'Channel buoy', 'Keep it on your right, going upstream.', 27.00, 55, 'buoy', 4, 'band', 3.400),
('BUO-02', 'Mooring buoy', 'Floats, whatever happens.', 31.00, 48, 'buoy', 210, 'band', 3.900),
('BUO-03', 'Swimmer''s float', 'Bright enough to be scolded from afar.', 15.00, 85, 'buoy', 50, 'dots', 0.450);

INSERT INTO customers (email, name)
SELECT 'customer' || i || '@example.com', 'Customer ' || i FROM generate_series(1, 200) AS i;
